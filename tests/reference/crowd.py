"""Slow transcription of Dawid and Skene (1979): EM over annotators' confusions, in loops over all that is counted."""

import math


def dawid_skene(answers, n_answers, steps):
    """(shares, confusions) after `steps` rounds from majority shares; `answers[i][j]` is -1 where j was not asked."""
    n, n_annotators = len(answers), len(answers[0])
    share = []
    for row in answers:
        given = [said for said in row if said >= 0]
        share.append([given.count(c) / len(given) for c in range(n_answers)])
    for _ in range(steps):
        confusion = [[[0.0] * n_answers for _ in range(n_answers)] for _ in range(n_annotators)]
        for j in range(n_annotators):
            for c in range(n_answers):
                asked = sum(share[i][c] for i in range(n) if answers[i][j] >= 0)
                for d in range(n_answers):
                    said = sum(share[i][c] for i in range(n) if answers[i][j] == d)
                    confusion[j][c][d] = said / asked if asked else 0.0
        prior = [sum(share[i][c] for i in range(n)) / n for c in range(n_answers)]
        share = []
        for i in range(n):
            likely = [
                prior[c] * math.prod(confusion[j][c][answers[i][j]] for j in range(n_annotators) if answers[i][j] >= 0)
                for c in range(n_answers)
            ]
            share.append([value / sum(likely) for value in likely])
    return share, confusion
