"""When an account is closed, how much of it, at what price, and who bears the rest."""

from cascadelab.margin.errors import (
    AuctionRefused,
    DateBeforeFirstTable,
    LeverageAboveCap,
    TierTableError,
)
from cascadelab.margin.flat import FlatRules
from cascadelab.margin.linear import Requirement, bankruptcy_price, liquidation_price
from cascadelab.margin.loans import LoanRules
from cascadelab.margin.records import VenueRecord
from cascadelab.margin.registry import record, tier_table, venue, venues
from cascadelab.margin.rules import ContractRules
from cascadelab.margin.tiers import TierTable

__all__ = [
    "AuctionRefused",
    "ContractRules",
    "DateBeforeFirstTable",
    "FlatRules",
    "LeverageAboveCap",
    "LoanRules",
    "Requirement",
    "TierTable",
    "TierTableError",
    "VenueRecord",
    "bankruptcy_price",
    "liquidation_price",
    "record",
    "tier_table",
    "venue",
    "venues",
]
