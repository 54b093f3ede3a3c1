"""Pictures made from shipped data and models; drawn with Matplotlib, numbers beside them as CSV."""
