# Generated from hls/overlays/zcu104-roup32.toml. Do not edit: run `make generate`.
set axynq(overlay) zcu104-roup32
set axynq(hash) 2bb58d9f1a3ac973b4745ac0641acca9736773837d0d427986de8690868ea20e
set axynq(board) zcu104
set axynq(part) xczu7ev-ffvc1156-2-e
set axynq(board_part) xilinx.com:zcu104:part0:1.1
set axynq(family) zynq-ultrascale+
set axynq(clock_mhz) 187.5
set axynq(memory_port_bits) 128
set axynq(word_bits) 256
set axynq(blackboxes) {axynq_configurable_exact_or_roup_0_4_or_roup_1_4_or_roup_2_6.json}
