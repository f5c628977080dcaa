"""The simulated radio: who speaks when at which strength, who hears it, and what the law says of it."""
