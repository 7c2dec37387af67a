"""The name and meaning of every number that is ever logged, in one place.

Writing a metric that is not here raises KeyError, and a test compares this
registry with `docs/metrics.md`, so the document cannot fall behind the code.
"""

from __future__ import annotations

METRICS: dict[str, str] = {
    "avg_return": "mean undiscounted return over the evaluation episodes",
    "avg_length": "mean length of the evaluation episodes",
    "return_std": "population standard deviation of the return over the evaluation episodes",
    "avg_success": "share of the evaluation episodes that the environment calls a success",
    "train/episode_return": "undiscounted return of the training episodes that ended",
    "train/episode_length": "length of the training episodes that ended",
    "train/critic_loss": "critic loss, summed over the ensemble, averaged over the batch",
    "train/q_mean": "Q of the sampled transitions, averaged over batch and ensemble",
    "train/target_q_mean": "regression target of the critics (y), averaged over the batch",
    "train/td_error": "absolute difference of Q and target, averaged over batch and ensemble",
    "train/actor_loss": "actor loss, averaged over the batch",
    "train/entropy": "policy entropy estimated as minus the log-probability of sampled actions",
    "train/temperature": "entropy coefficient alpha, as the actor used it",
    "train/temperature_loss": "loss of the entropy coefficient",
    "train/pessimism": "factor of the spread over the critics, as the target used it",
    "train/pessimism_error": "Q minus target where pessimism is learned, averaged over the batch",
    "train/explorer_loss": "loss of the optimistic explorer, averaged over the batch",
    "train/explorer_kl": "KL divergence of the explorer from the actor, per action dimension",
    "train/optimism": "factor of the spread over the critics, as the explorer used it",
    "train/kl_weight": "weight of the explorer's KL divergence",
    "time/wall_s": "time the run has taken, all its sessions together",
    "time/env_steps_per_s": "environment steps per second of one lane",
    "time/updates_per_s": "critic updates per second, summed over lanes",
    "time/eval_s": "time spent in evaluations that ended since the previous row",
    "reset/fired": "a reset rule fired; the value is its index in the list of rules, from 0",
}
"""Metric name -> what it means, in one line."""

EVALUATION: tuple[str, ...] = ("avg_return", "avg_length", "return_std", "avg_success")
"""The metrics of `results.csv`, in the order of its rows; the last one is optional."""
