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
    "q_bias": "Q minus the discounted return that followed, over the evaluation episodes' steps",
    "q_bias_std": "population standard deviation of Q minus that return over the same steps",
    "mc_return": "the discounted return that followed, over the same steps",
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
    "diagnostics/td_error": "absolute difference of Q and target on the batch, as in acting",
    "diagnostics/validation_td_error": "the same on validation transitions",
    "diagnostics/actor_dormant_fraction": "share of the actor's hidden units that hardly respond",
    "diagnostics/critic_dormant_fraction": "share of the critics' hidden units that hardly respond",
    "diagnostics/actor_effective_rank": "effective rank of the features the actor's heads read",
    "diagnostics/critic_effective_rank": "effective rank of the features a critic's head reads",
    "diagnostics/actor_parameter_norm": "Euclidean norm of the actor's parameters",
    "diagnostics/critic_parameter_norm": "Euclidean norm of the parameters of all critics",
    "diagnostics/actor_gradient_norm": "Euclidean norm of the gradient of the actor loss",
    "diagnostics/critic_gradient_norm": "Euclidean norm of the gradient of the critic loss",
    "diagnostics/action_gradient_norm": "norm of dQ/da of what the actor ascends, at its actions",
    "diagnostics/critic_disagreement": "standard deviation of Q over the critics",
    "diagnostics/saturated_actions": "share of sampled action components beyond 0.99 in size",
    "diagnostics/churn_kl_forward": "KL divergence of the policy before the updates of an env step "
    "from the policy after them",
    "diagnostics/churn_kl_backward": "KL divergence of the policy after the updates of an env step "
    "from the policy before them",
    "diagnostics/churn_mean": "how far those updates moved the policy's mean, before squashing",
    "diagnostics/churn_sigma": "how far those updates moved the policy's sigma",
    "time/wall_s": "time the run has taken, all its sessions together",
    "time/env_steps_per_s": "environment steps per second of one lane",
    "time/updates_per_s": "critic updates per second, summed over lanes",
    "time/eval_s": "time spent in evaluations that ended since the previous row",
    "reset/fired": "a reset rule fired; the value is its index in the list of rules, from 0",
}
"""Metric name -> what it means, in one line."""

OPTIONAL: tuple[str, ...] = ("avg_success", "q_bias", "q_bias_std", "mc_return")
"""The metrics of `results.csv` that not every evaluation has."""

EVALUATION: tuple[str, ...] = ("avg_return", "avg_length", "return_std", *OPTIONAL)
"""The metrics of `results.csv`, in the order of its rows."""
