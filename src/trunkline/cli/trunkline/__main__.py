"""``python -m trunkline.cli.trunkline``, for programs that start themselves again."""

from trunkline.cli.trunkline import main

main()
