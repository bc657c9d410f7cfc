"""Operations that several spaces are made of."""
