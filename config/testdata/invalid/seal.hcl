# Seal keys are secrets, at least one. Only one block counts.
seal { keys = ["postern-seal-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"] } # error: a secret does not belong into a policy

seal { # error: Duplicate seal
  keys = [env("SEAL")]
}
