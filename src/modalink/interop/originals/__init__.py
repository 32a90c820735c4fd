"""Systems in the format of their authors, one file each: trained tensors alone, for parts that are elsewhere."""
