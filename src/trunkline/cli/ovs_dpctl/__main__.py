from trunkline.cli.ovs_dpctl import main

main()
