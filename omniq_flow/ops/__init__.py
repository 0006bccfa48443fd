"""Operations as values: script, keys, arguments, how to read the reply. No I/O."""
