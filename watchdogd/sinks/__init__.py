"""Telling: each sink is a function of the facts that leave the loop; nothing flows back."""
