# Generated from hls/overlays/tiny4.toml. Do not edit: run `make generate`.
set axynq(overlay) tiny4
set axynq(hash) 7b17b3d186e37a21fd9cd74cfeffa7e9a3cfcc545d486682583ae032cf9547d9
set axynq(board) pynq-z2
set axynq(part) xc7z020clg400-1
set axynq(board_part) tul.com.tw:pynq-z2:part0:1.0
set axynq(family) zynq-7000
set axynq(clock_mhz) 100.0
set axynq(memory_port_bits) 64
set axynq(word_bits) 32
set axynq(blackboxes) {axynq_exact.json axynq_roup_1_4.json axynq_smapprox_3330.json axynq_roup_2_6.json}
