"""Checking a configuration before anything is written or compiled.

Every complaint is one line that names the setting by its path and its value, and where two do not
fit each other, both. One file per part of the configuration; each checks that part, and what it
needs of the others.
"""

from rr_scale import fields
from rr_scale.config import RunConfig
from rr_scale.validation.critics import check_pessimism, check_return_range, check_rules
from rr_scale.validation.explorer import check_explorer
from rr_scale.validation.networks import check_networks
from rr_scale.validation.policy import check_policy
from rr_scale.validation.resets import check_resets
from rr_scale.validation.run import check_numbers, check_sizes, check_variants
from rr_scale.validation.steps import check_order
from rr_scale.validation.values import check_leaf

__all__ = ["check_leaf", "validate"]


def validate(config: RunConfig) -> None:
    """Checks every setting on its own and then those that depend on each other.

    Raises:
      UserError: the first thing that is wrong, in one line.
    """
    for leaf in fields.leaves(config):
        check_leaf(leaf)
    check_sizes(config)
    check_networks(config.agent)
    check_order(config.agent)
    check_policy(config.agent)
    check_variants(config)
    check_numbers(config)
    check_rules(config.agent)
    check_pessimism(config)
    check_explorer(config)
    check_resets(config)
    check_return_range(config)
