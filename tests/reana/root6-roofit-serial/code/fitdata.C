// Where the signal is.
void fitdata(const char *source, const char *target) {
  TFile file(source);
  auto mass = file.Get<TH1D>("mass");
  mass->GetXaxis()->SetRangeUser(4, 6);
  std::ofstream(target) << "events " << mass->GetEntries() << "\npeak " << mass->GetMean() << "\n";
}
