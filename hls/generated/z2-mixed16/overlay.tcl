# Generated from hls/overlays/z2-mixed16.toml. Do not edit: run `make generate`.
set axynq(overlay) z2-mixed16
set axynq(hash) e49c57b3a8ee9a14dbdd706b45e936fbeb7a8ad8dc436bcc9ffdbe2ca7d558c8
set axynq(board) pynq-z2
set axynq(part) xc7z020clg400-1
set axynq(board_part) tul.com.tw:pynq-z2:part0:1.0
set axynq(family) zynq-7000
set axynq(clock_mhz) 100.0
set axynq(memory_port_bits) 64
set axynq(word_bits) 128
set axynq(blackboxes) {axynq_configurable_exact_or_roup_1_4.json axynq_exact.json axynq_smapprox_3330.json}
