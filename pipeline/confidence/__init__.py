"""A confidence that can be acted on, also under distribution shift: fitted on valid, part of the exported graph."""
