# Generated from hls/overlays/z2-roup16.toml. Do not edit: run `make generate`.
set axynq(overlay) z2-roup16
set axynq(hash) 1e0bfa10eb0fe415071dba088d46b7fe5f93e7a9dd89c6251b48be7d1df313ee
set axynq(board) pynq-z2
set axynq(part) xc7z020clg400-1
set axynq(board_part) tul.com.tw:pynq-z2:part0:1.0
set axynq(family) zynq-7000
set axynq(clock_mhz) 100.0
set axynq(memory_port_bits) 64
set axynq(word_bits) 128
set axynq(blackboxes) {axynq_configurable_exact_or_roup_0_4_or_roup_1_4_or_roup_2_6.json}
