"""How everything shipped was made: models, barcodes, figures, gallery, sessions, costs; only cli imports it."""
