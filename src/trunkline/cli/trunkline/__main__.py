from trunkline.cli.trunkline import main

main()
