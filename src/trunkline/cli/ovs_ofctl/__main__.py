from trunkline.start import ovs_ofctl

ovs_ofctl()
