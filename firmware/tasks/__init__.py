"""The board's tasks: each is a coroutine that app.py supervises."""
