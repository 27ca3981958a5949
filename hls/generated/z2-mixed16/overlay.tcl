# Generated from hls/overlays/z2-mixed16.toml. Do not edit: run `make generate`.
set axynq(overlay) z2-mixed16
set axynq(hash) 4741775727f45822581b03a4b8f34b524709dcd0c407da52d59fec4a9ff1f1bd
set axynq(board) pynq-z2
set axynq(part) xc7z020clg400-1
set axynq(board_part) tul.com.tw:pynq-z2:part0:1.0
set axynq(family) zynq-7000
set axynq(clock_mhz) 100.0
set axynq(memory_port_bits) 64
set axynq(word_bits) 128
