"""Assignment to arms, power, protocol."""
