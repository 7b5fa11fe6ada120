from trunkline.cli.ovs_ofctl import main

main()
