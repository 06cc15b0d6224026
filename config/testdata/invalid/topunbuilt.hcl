# Blocks of the language that this version has not yet.
contract "create" {} # error: Not built yet
