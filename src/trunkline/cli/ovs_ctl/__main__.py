from trunkline.start import ovs_ctl

ovs_ctl()
