# Given to the interpreter with -i: makes it a board, runs its program, then leaves it to the REPL.
import simstart

simstart.run(globals())
