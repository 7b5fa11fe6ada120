from trunkline.start import ovs_appctl

ovs_appctl()
