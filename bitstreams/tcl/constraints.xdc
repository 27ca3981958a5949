# A smaller file, which loads faster.
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]
