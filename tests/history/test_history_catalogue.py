"""The catalogue: counts, filters, conflicts, minutes."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from numpy.testing import assert_allclose

from cascadelab.errors import ParameterError
from cascadelab.history import catalogue

OCTOBER = "2025-10-10_crypto_wide"


def test_the_tables_hold_what_their_readme_says() -> None:
    assert catalogue.episodes().height == 64
    assert catalogue.figures().height == 1033
    assert catalogue.intraday().height == 678
    assert catalogue.minutes().height == 480
    classes = catalogue.episodes()["episode_class"].value_counts().rows()
    expected = {"crypto_cex": 33, "defi": 16, "traditional": 11, "options_hedging": 4}
    assert dict(classes) == expected
    confidence = dict(catalogue.episodes()["confidence"].value_counts().rows())
    assert confidence == {"high": 48, "medium": 16}


def test_episodes_agree_with_the_count_of_their_figures() -> None:
    counted = catalogue.figures().group_by("episode_id").len("n_counted")
    joined = catalogue.episodes().join(counted, on="episode_id", how="left")
    assert (joined["n_figures"] == joined["n_counted"]).all()


def test_stated_moves_follow_from_the_prices() -> None:
    frame = catalogue.episodes().filter(pl.col("move_pct").is_not_null())
    computed = 100 * (frame["price_low"] / frame["price_before"] - 1)
    assert_allclose(frame["move_pct"], computed, atol=0.006)  # two decimals


def test_filters_narrow_and_combine() -> None:
    assert catalogue.episodes(episode_class="defi").height == 16
    assert catalogue.episodes(min_confidence="high").height == 48
    assert catalogue.episodes(min_confidence="medium").height == 64
    late = catalogue.episodes(after="2025-10-10", before=date(2025, 10, 11))
    assert late["episode_id"].str.starts_with("2025-10-10").all()
    assert late.height == 3
    bitcoin = catalogue.episodes(asset="btc")
    assert OCTOBER in bitcoin["episode_id"].to_list()
    assert bitcoin["asset"].str.contains("BTC").all()
    assert catalogue.episodes(after=datetime(2030, 1, 1, tzinfo=UTC)).is_empty()


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"episode_class": "defy"}, "Did you mean 'defi'"),
        ({"asset": "nikel"}, "Did you mean 'nickel'"),
        ({"after": "soon"}, "expected a date"),
        ({"min_confidence": "hig"}, "Did you mean 'high'"),
    ],
)
def test_an_unknown_filter_value_suggests_the_nearest(filters: dict[str, str], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        catalogue.episodes(**filters)


def test_an_unknown_episode_suggests_the_nearest() -> None:
    for ask in (catalogue.episode, catalogue.figures, catalogue.conflicts, catalogue.intraday):
        with pytest.raises(ParameterError, match=f"Did you mean '{OCTOBER}'"):
            ask("2025-10-10_crypto")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("ltcm", "Did you mean '1998-08-21_ltcm'"),
        ("LTCM", "Did you mean '1998-08-21_ltcm'"),
        ("2020-03-1", r"\d hold it: '2020-03-1"),
        ("zzz", r"expected an id such as '.*'\. catalogue\.episodes\(\) lists all 64\."),
        ("", "lists all 64"),
        (5, "lists all 64|hold it"),
    ],
)
def test_a_word_that_is_remembered_leads_to_the_episodes_that_hold_it(
    word: object, words: str
) -> None:
    with pytest.raises(ParameterError, match=words) as caught:
        catalogue.figures(word)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


def test_figures_of_one_quantity_keep_source_and_confidence_side_by_side() -> None:
    found = catalogue.figures(OCTOBER, "liquidations_usd_24h")
    assert found.height > 1
    assert found["confidence"].is_in(["high", "medium", "low"]).all()
    assert found["source_url"].null_count() == 0
    spread = catalogue.conflicts(OCTOBER).filter(pl.col("quantity") == "liquidations_usd_24h")
    assert spread["n_figures"].item() >= 2


def test_an_episode_prints_and_leads_to_its_figures() -> None:
    episode = catalogue.episode(OCTOBER)
    assert episode["liquidations_usd_24h"] == 19.13e9
    assert episode["started_at"] == datetime(2025, 10, 10, 20, 50, tzinfo=UTC)
    assert "19,130,000,000" in str(episode)
    assert "Sources disagree" in str(episode)
    assert episode.figures().height == episode["n_figures"]
    assert episode.to_dict()["started_at"] == "2025-10-10T20:50:00+00:00"
    with pytest.raises(ParameterError, match="Did you mean 'price_low'"):
        episode["price_lo"]


def test_variants_of_a_quantity_stand_side_by_side() -> None:
    frame = catalogue.figures(OCTOBER, "liquidations_usd_24h")
    assert set(frame["variant"]) == {"", "claim"}
    assert frame.filter(pl.col("variant") == "claim")["is_principal"].to_list() == [False]
    assert frame.filter(pl.col("variant") == "")["is_principal"].all()
    only = catalogue.figures(OCTOBER, "liquidations_usd_24h_claim")
    assert only["value"].to_list() == [50e9]
    with pytest.raises(ParameterError, match="Did you mean 'liquidations_usd_24h'"):
        catalogue.figures(OCTOBER, "liquidations_usd_24")


def test_conflicts_give_the_spread_and_flag_claims() -> None:
    row = catalogue.conflicts(OCTOBER).row(
        by_predicate=pl.col("quantity") == "liquidations_usd_24h", named=True
    )
    assert (row["lowest"], row["highest"], row["chosen"]) == (19.0e9, 50e9, 19.13e9)
    assert row["spread"] == pytest.approx(50 / 19 - 1)
    assert row["has_claim"]
    assert not row["is_material"]  # without the claim, 19.0 to 19.5 agree within 5 %
    assert len(row["values"]) == len(row["publishers"]) == row["n_figures"] == 10


def test_numbered_alternatives_belong_to_their_quantity() -> None:
    names = set(catalogue.figures()["quantity"])
    assert "price_low_alt2" not in names
    assert "damages_claimed_usd" in names  # a word, not the suffix _claim


def test_phrases_keep_their_words_and_have_no_time() -> None:
    frame = catalogue.intraday()
    phrases = frame.filter(pl.col("started_at").is_null())
    assert phrases.height == 15
    assert phrases["time_utc"].null_count() == 0
    first = catalogue.intraday(OCTOBER, "event: tariff statement on Truth Social")
    assert datetime(2025, 10, 10, 14, 57, tzinfo=UTC) in first["started_at"].to_list()


def test_minutes_turn_contracts_into_coins_and_coins_into_dollars() -> None:
    perpetual = catalogue.minutes("AVAXUSD_PERP").row(0, named=True)
    # 20:30: 2,861 bought and 317 sold, contracts of 10 USD; prices 26.68 26.68 26.66 26.66.
    assert perpetual["quote_volume_usd"] == pytest.approx(31_780.0)
    assert perpetual["flow_usd"] == pytest.approx(25_440.0)
    assert perpetual["flow_base"] == pytest.approx(25_440.0 / 26.67)
    spot = catalogue.minutes("AVAX-USD").row(0, named=True)
    assert spot["flow_base"] == pytest.approx(spot["bought"] - spot["sold"])
    price = (spot["open"] + spot["high"] + spot["low"] + spot["close"]) / 4
    assert spot["quote_volume_usd"] == pytest.approx((spot["bought"] + spot["sold"]) * price)
    with pytest.raises(ParameterError, match="Did you mean"):
        catalogue.minutes("AVAXUSD")


def test_minutes_are_utc_and_sold_dominates_the_cascade() -> None:
    frame = catalogue.minutes("AVAXUSD_PERP")
    assert frame["minute_at"].min() == datetime(2025, 10, 10, 20, 30, tzinfo=UTC)
    assert frame["minute_at"].dtype == pl.Datetime("us", "UTC")
    fall = frame.filter(
        pl.col("minute_at").is_between(
            datetime(2025, 10, 10, 21, 10, tzinfo=UTC), datetime(2025, 10, 10, 21, 21, tzinfo=UTC)
        )
    )
    assert fall["flow_usd"].sum() < 0
