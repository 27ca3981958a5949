# Generated from hls/overlays/z2-sm16.toml. Do not edit: run `make generate`.
set axynq(overlay) z2-sm16
set axynq(hash) 9b259d2135d448ed312909d4b5f181a5b87acb4bfe6601dc1c92e02dcc187500
set axynq(board) pynq-z2
set axynq(part) xc7z020clg400-1
set axynq(board_part) tul.com.tw:pynq-z2:part0:1.0
set axynq(family) zynq-7000
set axynq(clock_mhz) 100.0
set axynq(memory_port_bits) 64
set axynq(word_bits) 128
set axynq(blackboxes) {axynq_exact.json axynq_smapprox_1110.json axynq_smapprox_3330.json axynq_smapprox_2222.json}
