from trunkline.start import ovs_dpctl

ovs_dpctl()
