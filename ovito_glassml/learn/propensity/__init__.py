"""How far every atom will move, from the structure around it."""
