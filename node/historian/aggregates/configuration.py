"""How non-Good and missing data count: AggregateConfiguration (OPC 10000-13 section 4.2.1.2), and Stepped."""

from __future__ import annotations

from dataclasses import dataclass

from node.historian.aggregates.errors import ConfigurationRejected


@dataclass(frozen=True, slots=True)
class Configuration:
    """The aggregate configuration of one variable or one request; raises ConfigurationRejected.

    The defaults are those of the standard. Percentages are 0 to 100.
    """

    stepped: bool = False  # values hold until the next one instead of lying on a line between the two
    treat_uncertain_as_bad: bool = True
    percent_data_bad: int = 100  # share of Bad data from which on a result is Bad
    percent_data_good: int = 100  # share of Good data from which on a result is Good
    use_sloped_extrapolation: bool = False  # beyond the last sample go on along the last two instead of holding

    def __post_init__(self) -> None:
        for name, percent in (("PercentDataBad", self.percent_data_bad), ("PercentDataGood", self.percent_data_good)):
            if not 0 <= percent <= 100:
                raise ConfigurationRejected(f"{name} is {percent}, not 0 to 100")
        good, bad = self.percent_data_good, self.percent_data_bad
        if good < 100 - bad:
            raise ConfigurationRejected(f"PercentDataGood {good} is less than 100 minus PercentDataBad {bad}")
