from trunkline.cli.ovs_ctl import main

main()
