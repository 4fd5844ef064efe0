"""Well-formed texts of each content type, and the small edits that spoil them."""

from __future__ import annotations

MCQ = """\
Question 1 - Chest pain

A 58-year-old man has had crushing chest pain for one hour. His blood pressure is 130/80.
E. coli was found in his urine last year.
Which drug lowers his risk of death most?

A) Aspirin
B) Digoxin

C) Verapamil
D) Warfarin

Correct Answer: A

Explanation
Aspirin irreversibly inhibits cyclo-oxygenase.
It lowers mortality within the first day.

Analysis of Other Options
B) Digoxin has no place here.
It slows the ventricle and changes nothing else.
C. Verapamil is a choice for spasm.
Option D: Warfarin acts within days.

Key Insights:
- Give aspirin at once.

Question 2
A 30-year-old woman tires easily.
A. Iron
B. Folate
C. Cobalamin
D. Copper
E. Zinc
Answer: e
Explanation: Her nails and her taste point to zinc.
Distractors:
A. Iron would change her blood count.
B. Folate as well.
C. Cobalamin as well.
D. Copper would change her gait.
Key Insights: Taste is a clue.
"""

NMCQ = """\
Clinical Vignette 1: Fever in a traveller

A 26-year-old man came back from Ghana nine days ago. He has fever and chills.

1. True/False: A single negative smear excludes malaria.
Answer: False.
Explanation: Smears are repeated.

2. Yes/No: Is primaquine needed for this species?
Correct Answer: No
Explanation
It has no liver stage that sleeps.

3. Drop Down: The first drug is ____.
A) Artesunate
B) Doxycycline
C) Chloroquine
Answer: A
Explanation: It acts fastest.

Clinical Vignette 2: A cough
An old woman coughs.
1. Drop Down: The likely cause is ____.
- S. pneumoniae
- E. coli
Answer: S. pneumoniae.
Explanation: It is the most common one:
1. Rest: it helps.
2. Drop Down: Options; rarely.
Options: one; two; three
Answer: Two
Explanation: Because of its place.
"""

SUMMARY = """\
1. Heart failure

High Yield Points:
1. Ejection fraction below 40 % defines the reduced type.
2. Beta blockers lower mortality.

Key Insight: Treat the cause as well as the fluid.

2. Valves
A short introduction to the block.

High Yield
- Aortic stenosis is heard at the base.

Key Insights:
1. Syncope on effort is a late sign.
2. Valve replacement cures it.

Block 3: Rhythm
High-Yield
* Anticoagulate by the score.
Key Insight
Rate control comes before rhythm control.
"""


def edited(text: str, *edits: tuple[str, str]) -> str:
    """Give a text with each edit made once; an edit that finds nothing is a broken test."""
    for old, new in edits:
        assert old in text, f"{old!r} is not in the sample"
        text = text.replace(old, new, 1)
    return text


def line_of(text: str, needle: str) -> int:
    """Give the number of the line in which something first begins, from 1."""
    return text.count("\n", 0, text.index(needle)) + 1
