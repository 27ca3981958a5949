"""How many cycles a program takes: the model of the core's loops."""
