from trunkline.cli.ovs_appctl import main

main()
