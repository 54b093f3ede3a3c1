"""Who will rearrange, from the structure around every atom."""
