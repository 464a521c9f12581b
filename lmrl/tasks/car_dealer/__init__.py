"""Car Dealer: sell a car to a buyer whose taste, temper and budget are hidden.

Rules (arXiv 2311.18232, section 4 and appendix C; code of the published benchmark):
- The agent is the seller. The buyer has a personality (10), a brand (13), a type (6), 1 to 4 of 8
  features and a budget (10,000 to 90,000), drawn uniformly.
- An action is an utterance and a newline. The buyer answers with one, and ends the talk with
  `Output: Decision=Accept MSRP=$40,000 Buy Price=$35,000` or with
  `Output: Decision=Reject MSRP=$40,000`, which the seller does not see.
- Reward: 0 until the end, then by `reward_mode`; see `REWARDS`.
- Horizon: 50 utterances of both sides, so 25 actions. The buyer is then asked for its verdict; none
  at all is worth 0. The episode ends by the rules; nothing is cut.
- The policy sees the whole episode.

The published buyer is a fine-tuned GPT-2 XL, which makes up MSRP (list price) and price. Ours is
scripted unless the option `buyer` names another; `ScriptedBuyer` says how it deals.

Score: the published minimum is 0 and the data set's mean return 0.562. The paper leaves the maximum
of this task blank. Ours is 1.0, a choice: a car that is listed and sold for the whole budget. The
scripted buyer pays neither more than its budget nor more than the list price, so that `sale` gives
no more. For `revenue` nothing is published; its constants are those times the mean budget.

Repaired by default, as published with `faithful=True` (quirks D1 to D7 of the task's sheet):
- `reward_mode` is `sale`; published, `fancy`, which rewards a rejection for a list price above the
  budget (up to 1), punishes one below without bound, and pays more the lower the list price is.
- D1: at the limit, the buyer's completion of `Output: Decision=` is read together with these
  words; published, without them, so that it means nothing (`fix_reprompt`).
- What the seller says reaches the buyer on one line of at most 400 characters and without the
  marker of a verdict; what the buyer says is one line of at most 600. Published, all of it.
- D2, D3: there is no batched environment here, and the buyer follows from the seed in every case.
- D5: `conversations` reads recorded data as a list and as a dictionary of lists.
- D7: `info["success"]` says whether the car was sold, not whether the reward was 0.
- D4 and D6 concern training scripts that have no counterpart here.

Variant `unseen-budgets`: 20,000 to 80,000 in steps between the published ones. The optimal player
takes budgets to be published ones, so it asks too much there and returns about 0.8.
"""

from lmrl.tasks.car_dealer.environment import CarDealer

__all__ = ["CarDealer"]
