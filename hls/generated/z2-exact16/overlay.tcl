# Generated from hls/overlays/z2-exact16.toml. Do not edit: run `make generate`.
set axynq(overlay) z2-exact16
set axynq(hash) 6c89a70a9f3e347b4f2e234a1d3a2ba51ac047c007f5d70a7d8d4d2525c346c7
set axynq(board) pynq-z2
set axynq(part) xc7z020clg400-1
set axynq(board_part) tul.com.tw:pynq-z2:part0:1.0
set axynq(family) zynq-7000
set axynq(clock_mhz) 100.0
set axynq(memory_port_bits) 64
set axynq(word_bits) 128
set axynq(blackboxes) {axynq_exact.json}
