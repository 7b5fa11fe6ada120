"""The pytest plugin: fixtures that give a database server, a switch and simulated machines."""
