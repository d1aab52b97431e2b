"""How far a mask can be believed: signs, expected Dice and volume, flags."""
