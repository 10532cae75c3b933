#!/usr/bin/env python3
"""Draws what bench.py measured: deliveries a second against connections, a panel a file system.

  plot.py FILE.json OUT.svg (or .png)
"""
import json
import statistics
import sys

import matplotlib
matplotlib.use("svg" if sys.argv[2].endswith("svg") else "agg")
import matplotlib.pyplot as plt  # noqa: E402

STYLE = {"twinspool": ("#c0392b", "o", "-"), "sdbox, always": ("#2c5f8a", "s", "-"), "sdbox, optimized": ("#2c5f8a", "s", ":"),
         "mdbox, always": ("#3f8f4f", "^", "-"), "mdbox, optimized": ("#3f8f4f", "^", ":"), "Cyrus": ("#8e6bbf", "D", "-"),
         "floor": ("#777777", None, "--")}


def main():
    data = json.load(open(sys.argv[1]))
    rows = [r for r in data["delivery"] if r["case"] == "4 KiB"]
    kinds = sorted({r["fs"] for r in rows})
    plt.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "twinspool"})
    fig, axes = plt.subplots(1, len(kinds), figsize=(5.2 * len(kinds), 4.2), sharey=True, squeeze=False)
    for ax, fs in zip(axes[0], kinds):
        for name in data["systems"] + sorted({r["system"] for r in rows if r["system"].startswith("floor")}):
            mine = [r for r in rows if r["fs"] == fs and r["system"] == name]
            xs = sorted({r["connections"] for r in mine})
            if not xs:
                continue
            rates = [[r["rate"] for r in mine if r["connections"] == x] for x in xs]
            ys = [statistics.median(v) for v in rates]
            color, marker, line = next((v for k, v in STYLE.items() if k in name), ("#000000", "x", "-"))
            ax.errorbar(xs, ys, yerr=[[y - min(v) for y, v in zip(ys, rates)], [max(v) - y for y, v in zip(ys, rates)]],
                        color=color, marker=marker, linestyle=line, label=name, capsize=2, markersize=4,
                        linewidth=2.2 if name.startswith("twinspool") else 1.3)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks([1, 16, 64, 256], ["1", "16", "64", "256"])
        ax.set_yticks([50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000],
                      ["50", "100", "200", "500", "1,000", "2,000", "5,000", "10,000", "20,000"])
        ax.minorticks_off()
        ax.grid(True, color="#dddddd", linewidth=0.6)
        ax.set_title({"ext4": "ext4 with a journal", "xfs": "XFS"}[fs])
        ax.set_xlabel("connections")
    axes[0][0].set_ylabel("messages of 4 KiB delivered a second")
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="lower center", ncol=3, frameon=False, fontsize=8)
    fig.tight_layout(rect=(0, 0.15, 1, 1))
    fig.savefig(sys.argv[2], metadata={"Date": None} if sys.argv[2].endswith("svg") else None)


if __name__ == "__main__":
    main()
