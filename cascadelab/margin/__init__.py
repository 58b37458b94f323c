"""When an account is closed, how much of it, at what price, and who bears the rest."""

from cascadelab.margin.flat import FlatRules
from cascadelab.margin.linear import bankruptcy_price, liquidation_price

__all__ = ["FlatRules", "bankruptcy_price", "liquidation_price"]
