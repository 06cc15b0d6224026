# A seal block without a key seals nothing.
seal {
  keys = []            # error: At least one secret
  key  = file("seal")  # error: Did you mean "keys"?
}
