from trunkline.start import trunkline

trunkline()
