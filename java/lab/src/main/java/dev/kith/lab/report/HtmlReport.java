package dev.kith.lab.report;

import java.util.List;

/**
 * A {@link Report} as one HTML page without outside parts: style, drawings and all, readable in
 * light and in dark.
 */
final class HtmlReport {
  private static final String STYLE =
      """
      :root{color-scheme:light dark;--page:#fff;--card:#f6f7f9;--ink:#1c232c;--soft:#59636f;--rule:#dfe3e8;--edge:#a4adb8;
      --c0:#2563c9;--c1:#d9541e;--c2:#17867a;--c3:#9a3fb5;--c4:#b07c00;--c5:#c62f5d;--c6:#4a7d1f;--c7:#5b6472}
      @media(prefers-color-scheme:dark){:root{--page:#14181d;--card:#1d232a;--ink:#e8ecf1;--soft:#a3adb9;--rule:#343c46;
      --edge:#5d6875;--c0:#76a9ff;--c1:#ff9466;--c2:#4fc9ba;--c3:#d68bf0;--c4:#e3b341;--c5:#ff7da3;--c6:#9ccf6b;--c7:#a9b4c0}}
      *{box-sizing:border-box}
      body{margin:0 auto;padding:2.2rem 1.4rem 4rem;max-width:1360px;background:var(--page);color:var(--ink);
      font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
      h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem}h2{font-size:1.15rem;margin:0 0 .6rem}
      p.sub{color:var(--soft);margin:0 0 1.6rem;max-width:60rem}
      .tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin-bottom:1.6rem}
      .tile{background:var(--card);border-radius:10px;padding:.8rem 1.1rem;min-width:9rem}
      .tile b{display:block;font-size:1.7rem;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
      .tile span{color:var(--soft);font-size:.9rem}
      .grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:1.1rem}
      .card{background:var(--card);border-radius:10px;padding:1.1rem 1.2rem;margin:0;overflow-x:auto}
      .card p{color:var(--soft);margin:.2rem 0 0;font-size:.95rem}
      .wide{margin-top:1.1rem}.grid2{align-items:start}.full{grid-column:1/-1}
      svg{display:block;width:100%;height:auto}
      svg text{fill:var(--ink);font-family:inherit}
      .tick{font-size:14px;fill:var(--soft)!important;font-variant-numeric:tabular-nums}
      .label{font-size:15px}.legend{font-size:15px}
      .end{font-size:15px;font-weight:650;font-variant-numeric:tabular-nums}
      line.grid{stroke:var(--rule);stroke-width:1}line.axis{stroke:var(--soft);stroke-width:1.2}
      .line{fill:none;stroke-width:2.6;stroke-linejoin:round;stroke-linecap:round}.dashed{stroke-dasharray:8 6;stroke-linecap:butt}
      circle[class^=p]{fill:transparent}circle[class^=p]:hover{fill-opacity:.55}
      .edge{stroke:var(--edge);stroke-width:1.6}.head{fill:var(--edge)}
      .node{fill:var(--c0)}.gone{fill:var(--card);stroke:var(--edge);stroke-width:1.4}.number{fill:var(--page)!important;text-anchor:middle;font-weight:650}.number.soft{fill:var(--edge)!important}
      .heat{min-width:460px}.cell{fill:var(--c0);stroke:var(--rule);stroke-width:.6}
      .count{font-size:12px;font-variant-numeric:tabular-nums}.strong{fill:var(--page)!important}
      table{border-collapse:collapse;width:100%;font-size:.95rem}
      th,td{text-align:left;padding:.32rem .9rem .32rem 0;border-bottom:1px solid var(--rule);vertical-align:top}
      th{font-weight:600;color:var(--soft)}.head td:first-child{white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
      """;

  private final StringBuilder page = new StringBuilder();

  private HtmlReport() {}

  static String of(Report report) {
    return new HtmlReport().write(report);
  }

  private String write(Report report) {
    page.append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>")
        .append(Html.escape(report.title()))
        .append("</title>\n<style>\n")
        .append(STYLE);
    for (int i = 0; i < SvgPlot.COLOURS; i++) {
      page.append(
          ".s%1$d{stroke:var(--c%1$d)}.t%1$d{fill:var(--c%1$d)!important}circle.p%1$d:hover{fill:var(--c%1$d)}\n"
              .formatted(i));
    }
    page.append("</style>\n</head>\n<body>\n<h1>")
        .append(Html.escape(report.title()))
        .append("</h1>\n<p class=\"sub\">")
        .append(Html.escape(report.subtitle()))
        .append("</p>\n");
    tiles(report.tiles());
    page.append("<div class=\"grid2\">\n");
    for (Plot plot : report.plots()) {
      card("card", plot.title(), SvgPlot.of(plot), "");
    }
    for (GraphPicture graph : report.graphs()) {
      String drawing =
          graph.drawable()
              ? SvgGraph.of(graph)
              : "<p>%d nodes are too many to be drawn.</p>".formatted(graph.nodes());
      card("card", graph.title(), drawing, graph.caption());
    }
    page.append("</div>\n");
    report
        .heatmap()
        .filter(Heatmap::drawable)
        .ifPresent(heat -> card("card wide", "Who holds which data", heat.svg(), ""));
    page.append("<div class=\"grid2 wide\">\n");
    report.tables().forEach(this::table);
    page.append("</div>\n");
    return page.append("</body>\n</html>\n").toString();
  }

  private void tiles(List<Report.Tile> tiles) {
    page.append("<div class=\"tiles\">\n");
    for (Report.Tile tile : tiles) {
      page.append("<div class=\"tile\"><b>")
          .append(Html.escape(tile.value()))
          .append("</b><span>")
          .append(Html.escape(tile.label()))
          .append("</span></div>\n");
    }
    page.append("</div>\n");
  }

  private void card(String style, String title, String drawing, String caption) {
    page.append("<section class=\"")
        .append(style)
        .append("\"><h2>")
        .append(Html.escape(title))
        .append("</h2>")
        .append(drawing);
    if (!caption.isEmpty()) {
      page.append("<p>").append(Html.escape(caption)).append("</p>");
    }
    page.append("</section>\n");
  }

  private void table(Report.Table table) {
    StringBuilder rows =
        new StringBuilder(table.header().isEmpty() ? "<table>" : "<table class=\"head\">");
    int columns = table.rows().isEmpty() ? table.header().size() : table.rows().getFirst().size();
    boolean[] numbers = new boolean[columns];
    for (int c = 0; c < columns; c++) {
      int column = c;
      numbers[c] =
          table.rows().stream()
              .allMatch(
                  row ->
                      row.get(column).matches("[-+]?[\\d,.]+(e-?\\d+)?( ?(%|s|B|kB|MB|GB|TB))?|-"));
    }
    if (!table.header().isEmpty()) {
      rows.append("<tr>");
      for (int c = 0; c < columns; c++) {
        rows.append(numbers[c] ? "<th class=\"n\">" : "<th>")
            .append(Html.escape(table.header().get(c)))
            .append("</th>");
      }
      rows.append("</tr>");
    }
    for (List<String> row : table.rows()) {
      rows.append("<tr>");
      for (int c = 0; c < columns; c++) {
        boolean name = table.header().isEmpty() && c == 0;
        rows.append(
                name
                    ? "<th>"
                    : numbers[c] && !table.header().isEmpty() ? "<td class=\"n\">" : "<td>")
            .append(Html.escape(row.get(c)))
            .append(name ? "</th>" : "</td>");
      }
      rows.append("</tr>");
    }
    card(columns > 5 ? "card full" : "card", table.title(), rows.append("</table>").toString(), "");
  }
}
