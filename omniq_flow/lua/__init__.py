"""Scripts: one file, one atomic operation; fragments shared by name; the assembler."""
