// The spectrum as a table.
void plot() {
  TFile file("AnalysisResults.root");
  std::ofstream table("plot_pt.txt");
  auto pt = file.Get<TH1D>("pt");
  for (int bin = 1; bin <= pt->GetNbinsX(); bin++)
    table << pt->GetBinContent(bin) << "\n";
}
