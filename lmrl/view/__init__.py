"""A browser of runs in a terminal: episodes, curves and scores.

    app          `Viewer`, the application
    loading      what it shows of runs, read by `lmrl.report.live`
    listing      the list of episodes; only the rows in sight are drawn
    index        figures of the episodes as arrays: filters and order
    episode      the screen of one episode: conversation, board, figures of tokens
    curves       the tab of the curves
    plot         a curve as lines of characters
    state        the tab with scores and state
    rows         a list of any length
    terminal     whether there is a terminal
    text         untrusted text, numbers and durations in a terminal

`lmrl.report` reads the run directories, so that both show the same.
"""
