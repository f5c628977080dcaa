"""Links: how frames leave a board and come to it."""
