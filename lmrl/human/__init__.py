"""Human evaluation: a person plays one side of a task, and every finished episode is kept.

    person       a person at a terminal: questions, answers, and the time between them
    policies     who plays the agent: a scripted player, a person, or anything else with `start`
    study        what is played: task, policies, seeds, order; its file
    session      playing the episodes that a study still lacks
    results      means, intervals and the gap between person and simulator

As the *agent* a person plays the task itself. As the *oracle* a person answers or negotiates, and
policies play the agent: each policy once on every seed, in an order drawn from the study's seed,
and without its name if the study is blind. Each such episode has a twin, in which the same policy
plays the same seed against the task's own scripted oracle; the two give the gap between person and
simulator.

A study is a folder: `study.json` is what is played, each `episode-NNNNN.parquet` is a finished
episode, and `simulated/` has the twins. Everything that a person typed or did is in the episodes:
the actions or answers, and in `info` the seconds and refused inputs of each answer and a rating.
"""
